CREATE DATABASE zync_production;
\connect zync_production
CREATE TABLE applications (id bigint, service_id bigint);
CREATE TABLE integrations (id bigint, configuration jsonb);
CREATE TABLE providers (id bigint, domain text);
INSERT INTO providers VALUES (1, 'acme-admin.example.org');
INSERT INTO providers VALUES (2, 'initech-admin.example.org');
